"""Networks in torch and how they are trained and evaluated: the supernet, then the chosen configuration alone."""
