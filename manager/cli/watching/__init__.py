"""``state --watch`` on a terminal: the whole cluster on one screen, on and on."""
