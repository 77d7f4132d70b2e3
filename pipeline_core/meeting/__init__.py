"""Recordings of people talking: who said what, when."""
