"""How long training, evaluation and decoding take here, beside what people use today.

One command runs all contestants in one process, in turn, on the same rows, and prints a table of
medians, spreads, ratios and scores.
"""
