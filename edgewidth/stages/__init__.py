"""One public function per stage, and run(), which wires them."""
