"""Small models of what tests cannot have for real."""
