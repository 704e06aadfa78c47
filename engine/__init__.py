"""engine: moves files out of a vendor bucket into your own, and the links in Salesforce after them."""

__version__ = "0.1.0"
