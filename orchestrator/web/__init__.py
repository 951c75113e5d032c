"""The pages of features inside Flower: a tab in its own navigation bar, with its theme and its authentication."""
