"""What an agent sees of a session, and how it goes on from one step to the next."""
