"""Tests of the Salesforce adapter."""
