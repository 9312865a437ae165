"""The operator's side: what is wanted, who should have it, and who has not."""
