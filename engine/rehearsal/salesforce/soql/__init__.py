"""SOQL: text to tokens, tokens to a tree, a tree to SQL with bound values, and rows to records."""
