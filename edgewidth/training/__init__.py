"""Images, the supernet, the unary losses and the final training; the one room that needs torch."""
