"""What all tests share: they compute on one thread, as jobs do."""

from epsigma.surroundings import settle

settle()
