"""From which score a window is anomalous: rules fitted on held-out scores, and calibration on the stream."""
