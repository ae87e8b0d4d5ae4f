"""Tables, a file each: from ledgers to CSV."""
