"""``tiervdb demo``: what tiervdb does, on real words, in under a minute."""
