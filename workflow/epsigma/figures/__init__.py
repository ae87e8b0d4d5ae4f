"""The figures: functions from tables to matplotlib figures. They read and write no files."""
