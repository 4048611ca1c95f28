"""What is made of CLIP: its tower, Grad-CAM through it, and the choice of prompts."""
