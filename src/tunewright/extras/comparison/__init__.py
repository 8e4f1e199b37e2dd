"""Several runs side by side: candidates on the same rows, the recommendation, its page; and the grid that trains them."""
