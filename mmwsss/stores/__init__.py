"""The files that one stage hands to the next: activation maps, scores, image labels, colours."""
