"""Chest X-ray phantoms: projections of an analytic thorax in the official NIH layout."""
