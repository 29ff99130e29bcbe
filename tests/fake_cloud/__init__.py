"""Stand-ins for cloud services that speak their protocols on loopback, for tests."""
