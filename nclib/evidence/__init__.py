"""Evidence: the claims of papers, the rules that hold our values against them, the verdicts, and the ledger of all."""
