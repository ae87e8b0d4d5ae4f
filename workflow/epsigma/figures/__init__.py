"""The figures: functions from what a job has read to matplotlib figures. They write no files."""
