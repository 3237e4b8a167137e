"""The pages of the book, a folder each: what is run, what is drawn, what is claimed."""
