"""Networks in torch: slimmable, plain, as int8 computes."""
