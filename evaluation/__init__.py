"""Numbers that judge an attribution or a classifier, with error bars over patients."""
