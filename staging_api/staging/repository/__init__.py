"""The rows of stagings and staged artifacts: every statement that reads or writes them."""
