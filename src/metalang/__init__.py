"""What does pretraining on artificial languages, mixed with natural language, do to a model?"""

__version__ = "0.1.0"
