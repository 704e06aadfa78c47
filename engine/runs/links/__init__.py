"""Phase 2 and its way back. In: proved copies. Out: changed links, each journalled before, and a report."""
