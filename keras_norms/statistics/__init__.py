"""The algebra of statistics: moments, their merge, affine coefficients."""
