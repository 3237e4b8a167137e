"""Evidence: what a paper says, the rule that holds our values against it, the verdict, the ledger of all."""
