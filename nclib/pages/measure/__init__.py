"""Page A1: measuring: of a network, of a language model in several conventions, its traps and its speed."""
