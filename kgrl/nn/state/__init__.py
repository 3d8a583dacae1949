"""What is known of a session: recurrent states, the user status, exact inference of the taste."""
