"""From wanted to mounted: pure plans, and the loop that performs them."""
