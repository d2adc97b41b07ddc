"""Chest X-ray phantoms: Beer-Lambert projections of an analytic thorax in the official NIH layout."""
