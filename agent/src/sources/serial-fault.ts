export interface PortFault {
  readonly code: string
  readonly message: string
}

/**
 * Why a port did not open and what the person at the machine can do about it. The driver reports as text only
 * ("Error: No such file or directory, cannot open /dev/ttyUSB0").
 */
export function openFault(path: string, error: unknown): PortFault {
  const text = error instanceof Error ? error.message : String(error)
  if (/no native build|dlopen|cannot find (module|package)/i.test(text)) {
    return {
      code: 'FW_SERIAL_UNSUPPORTED',
      message: `serial ports cannot be used on this machine: there is no driver for its processor or system`,
    }
  }
  if (/no such (file|device)|ENOENT|ENXIO|ENODEV|file not found/i.test(text)) {
    return {
      code: 'FW_SERIAL_PORT_MISSING',
      message:
        `there is no serial port ${path}: plug the device in, or correct path in the configuration ` +
        `(ls -l /dev/serial/by-id shows what is there, under names that stay the same); it is tried again by itself`,
    }
  }
  if (/permission denied|EACCES|EPERM|access denied/i.test(text)) {
    return {
      code: 'FW_SERIAL_PORT_DENIED',
      message:
        `this user may not open ${path}: add the user to the group that owns it, on Debian and Raspberry Pi OS with ` +
        `sudo usermod -aG dialout USER, and start the agent again`,
    }
  }
  if (/lock|busy|temporarily unavailable|EBUSY/i.test(text)) {
    return {
      code: 'FW_SERIAL_PORT_BUSY',
      message:
        `another program uses ${path}: sudo fuser -v ${path} names it; often it is a login console (on a Raspberry Pi ` +
        `raspi-config switches it off), ModemManager or a second agent`,
    }
  }
  return {
    code: 'FW_SERIAL_PORT_FAILED',
    message:
      `${path} cannot be opened as a serial port (${text.slice(0, 200)}): check that path is a serial port and that ` +
      `the device supports baud_rate`,
  }
}
