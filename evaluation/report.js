"use strict";
const root = document.documentElement, theme = document.getElementById("theme");
const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const nameTheme = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.hidden = false;
nameTheme();
theme.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });

for (const button of document.querySelectorAll("thead button")) button.addEventListener("click", () => {
  const head = button.parentElement, body = head.closest("table").tBodies[0], column = head.cellIndex;
  const numeric = head.classList.contains("num"), before = head.getAttribute("aria-sort");
  const up = before ? before === "descending" : !numeric;
  const key = row => row.cells[column].dataset.key;
  const sorted = [...body.rows].sort((a, b) => {
    if (!key(a) || !key(b)) return !key(a) - !key(b);
    const order = numeric ? key(a) - key(b) : key(a).localeCompare(key(b));
    return up ? order : -order;
  });
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...sorted);
});

const FILTERED = 12;  // rows from which on a table can be filtered
for (const table of document.querySelectorAll(".scroll table:not(.compact)")) {
  const rows = [...table.tBodies[0].rows], filter = document.createElement("input");
  if (rows.length < FILTERED) continue;
  Object.assign(filter, { type: "search", className: "filter", placeholder: `Filter ${rows.length} rows: words` });
  filter.setAttribute("aria-label", "Show only rows with these words");
  table.parentElement.before(filter);
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
  });
}

const enlarged = document.getElementById("enlarged");
enlarged.addEventListener("click", () => enlarged.close());
for (const button of document.querySelectorAll(".zoom")) button.addEventListener("click", () => {
  enlarged.replaceChildren(button.firstElementChild.cloneNode());
  enlarged.showModal();
});

const part = name => document.getElementById("browser-" + name);
if (part("data")) {
  const films = JSON.parse(part("data").textContent), all = "", hidden = new Set(), large = new Set();
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const fill = (select, options) => {
    const before = select.value;
    select.replaceChildren(...options.map(([text, value]) => new Option(text, value)));
    if (options.some(option => option[1] === before)) select.value = before;
  };
  const once = values => [...new Set(values)];
  const role = film => film.role.split(",")[0];
  const within = film => film.part === part("part").value;
  const listFilms = () => {
    const inside = films.filter(within);
    fill(part("finding"), [["all", all], ...once(inside.map(film => film.finding)).map(name => [name, name])]);
    fill(part("role"), [["typical, worst and best", all], ...once(inside.map(role)).map(name => [name, name])]);
    const [finding, wanted] = [part("finding").value, part("role").value];
    const shown = [...films.entries()].filter(([, film]) => within(film) && (!finding || film.finding === finding) && (!wanted || role(film) === wanted));
    fill(part("film"), shown.map(([at, film]) => [[film.finding, film.role, film.image].filter(Boolean).join(" · "), String(at)]));
  };
  const draw = (film, scores) => {
    const svg = part("stack").content.firstElementChild.cloneNode();
    const add = (name, attributes, text) => {
      const made = document.createElementNS(svg.namespaceURI, name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      made.textContent = text;
      svg.append(made);
    };
    for (const [x, y, width, height] of film.boxes) for (const kind of ["under", "box"]) add("rect", { x, y, width, height, class: kind }, "");
    if (scores) for (const [x, y, score] of film.scores) add("text", { x, y }, score);
    return svg;
  };
  const tile = (film, name, map) => {
    const image = (src, alt) => element("img", { src, alt });
    const stack = element("span", { className: "stack" }, image(film.film, `Film ${film.image}, ${film.headline}`));
    if (map) {
      const layer = image(map.layer, `${map.label} map for ${film.finding}, full colour at ${map.top}`);
      layer.style.opacity = part("opacity").value / 100;
      stack.append(layer);
    }
    if (part("truth").checked) {
      if (film.zones) stack.append(image(film.zones, "Outlines of the six zones"));
      stack.append(draw(film, !map));
    }
    const button = element("button", { type: "button", title: "Larger or smaller" }, stack);
    const words = map ? [map.top === "its own maximum" ? "" : `full colour at ${map.top}`, map.note] : [film.hung ? "the patient's right is at the left" : ""];
    const made = element("figure", { className: "tile" }, button, element("b", { textContent: map ? map.label : "Film" }), ...words.filter(Boolean).map(text => element("span", { textContent: text })));
    made.classList.toggle("large", large.has(name));
    button.addEventListener("click", () => {
      if (!large.delete(name)) large.add(name);
      made.classList.toggle("large");
    });
    return made;
  };
  const show = () => {
    const film = films[part("film").value], maps = Object.entries(film.maps);
    part("percent").textContent = part("opacity").value + " %";
    part("ramp").style.opacity = part("opacity").value / 100;
    part("caption").textContent = [film.image, film.headline, film.role].filter(Boolean).join(" · ");
    part("methods").replaceChildren(part("methods").firstElementChild, ...maps.map(([name, map]) => {
      const box = element("input", { type: "checkbox", checked: !hidden.has(name), value: name });
      box.addEventListener("input", () => {
        if (!hidden.delete(name)) hidden.add(name);
        showTiles(film, maps);
      });
      return element("label", {}, box, " " + map.label);
    }));
    showTiles(film, maps);
  };
  const showTiles = (film, maps) => part("tiles").replaceChildren(
    tile(film, "", null), ...maps.filter(([name]) => !hidden.has(name)).map(([name, map]) => tile(film, name, map)));
  fill(part("part"), once(films.map(film => film.part)).map(name => [name, name]));
  part("part").parentElement.hidden = part("part").options.length === 1;
  listFilms();
  for (const name of ["part", "finding", "role"]) part(name).addEventListener("input", listFilms);  // before show
  for (const name of ["part", "finding", "role", "film", "opacity", "truth"]) part(name).addEventListener("input", show);
  show();
  part("body").hidden = false;
}

const links = new Map([...document.querySelectorAll("nav a")].map(link => [link.hash.slice(1), link]));
const chapters = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) {
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id).setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -80% 0px" });
for (const chapter of document.querySelectorAll(".chapter")) chapters.observe(chapter);
