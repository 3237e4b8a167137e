"""Page 22: recurrent states that are overfull, and routed experts."""
