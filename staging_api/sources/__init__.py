"""Where archives come from: one small protocol, one module per scheme."""
