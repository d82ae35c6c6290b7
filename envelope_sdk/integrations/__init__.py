"""What joins this package's parts to each other, and to other libraries, where no layer could."""
