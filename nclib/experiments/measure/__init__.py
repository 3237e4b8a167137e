"""The library's own measuring: of a network, of a language model in several conventions, of its traps and its speed."""
