"""Page A3: what public codebases compute under one name on the same features, and the exact rules between them."""
