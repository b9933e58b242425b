"""Text and tokenizers: strings to ids."""
