"""Films and their labels: phantoms, official files, splits, and packing to the network's size."""
