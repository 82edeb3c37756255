"""Logs to train and test on: public data sets, labelled windows, a simulator."""
