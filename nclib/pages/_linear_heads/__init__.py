"""What pages 02 to 04 share: Dang et al. 2023, linear layers on free features and on networks, by descent."""
