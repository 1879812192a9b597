"""What the tools of valgrind write: memcheck's text and XML, massif's and DHAT's profiles."""
