"""The steps of the pipeline, one file each: what happens to a batch of lines on its way to an alert."""
