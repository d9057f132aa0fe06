"""Ways to carry out many recipes: one after another here, in processes side by side, or on a Ray cluster."""
