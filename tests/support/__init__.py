"""What the tests share: stores and servers, fakes, worlds and builders. No test lives here."""
