"""What EC2 answers, read without a line of Moat's."""
