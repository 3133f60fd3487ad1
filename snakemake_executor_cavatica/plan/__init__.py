"""Facts become a plan, or a refusal: mode, image, files in and out, resources. Pure."""
